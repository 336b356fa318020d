// Types of the generated dashboards: Grafana's own, for values as they are in JSON. Where its schema has no type for
// what its Prometheus data source and the SDK write, that is added by name.
import type { AnnotationQuery, Dashboard, VariableModel } from "@grafana/schema";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.js";
import type * as Heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.js";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.js";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.js";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.js";

/** A type with the values of its enumerations, which JSON has, in place of their members. */
type Json<T> = T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer Value extends number}` ? Value : T)
  : T extends (infer Item)[] ? Json<Item>[]
  : T extends object ? { [Key in keyof T]: Json<T[Key]> }
  : T;

interface PrometheusQuery {
  refId: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  format?: "time_series" | "table" | "heatmap";
}

type Variable = VariableModel & { auto: boolean; auto_min: string; auto_count: number };
type PrometheusAnnotation = AnnotationQuery & { expr: string; titleFormat: string; textFormat: string; step: string };

export type Board = Json<Omit<Dashboard, "templating" | "annotations">> & {
  templating: { list: Json<Variable>[] };
  annotations?: { list?: Json<PrometheusAnnotation>[] };
};

/** What each kind of panel has besides; the schema of dashboards itself takes any options. */
export interface Panels {
  "heatmap": { options: Partial<Json<Heatmap.Options>>; custom: Json<Heatmap.FieldConfig> | Record<string, never> };
  "stat": { options: Partial<Json<Stat.Options>>; custom: Record<string, never> };
  "table": { options: Partial<Json<Table.Options>>; custom: Json<Table.FieldConfig> | Record<string, never> };
  "state-timeline": { options: Partial<Json<StateTimeline.Options>>; custom: Json<StateTimeline.FieldConfig> };
  "timeseries": { options: Partial<Json<TimeSeries.Options>>; custom: Json<TimeSeries.FieldConfig> };
}

export type Panel<Kind extends keyof Panels> = Panels[Kind] & { targets: PrometheusQuery[] };
