import os

from bentos import answer, hot_path
from bentos.metrics import Metrics
from bentos.service import slipway  # noqa
from bentos.worker import Served, Worker
from slipway.prediction_log import Writer

w = os.environ["ABL"].split(",")
if "nosync" in w:
    Writer._sync_in_groups = lambda s: None
if "nolines" in w:
    answer.record.lines = lambda *_: [b"x" * 1000 + b"\n"]
if "nohash" in w:
    from slipway.schema import Identifier

    Identifier.of_text = lambda *a: (b"0" * 32, 1)
if "nowrite" in w:
    Served.log = lambda *a, **k: None
if "nocount" in w:
    answer.record.count = lambda *_: None
if "noreq" in w:
    Metrics.request = lambda *_: None
if "norun" in w:
    from slipway.predictor import Predictor
    import numpy as np

    _o = np.array([[0.4, 0.6]], np.float32)
    Predictor.run = lambda *a: _o
if "gcfreeze" in w:
    s = Worker.start

    def start(self):
        s(self)
        import gc

        gc.collect()
        gc.freeze()

    Worker.start = start
if "noanswer" in w:
    hot_path.answer = lambda call: b'{"predictions":[{"a":1}]}'
if "notell" in w:
    answer.tell = lambda *a: b'{"predictions":[{"a":1}]}'
if "noread" in w:
    hold = {}
    r = answer.read

    def read(call):
        if "x" not in hold:
            hold["x"] = r(call)
        return hold["x"]

    answer.read = read
