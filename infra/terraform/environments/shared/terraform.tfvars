# Set your own: the repository whose workflows deploy, and who learns of the bill.
repository     = "OWNER/slipway"
billing_emails = ["operators@example.org"]

use_cases   = ["credit_risk", "digits"]
keep_images = 30

availability_zones = ["eu-central-1a", "eu-central-1b"]
client_cidrs       = ["10.1.0.0/16", "10.2.0.0/16"]

database_instance_class = "db.t4g.medium"
database_multi_az       = true
database_backup_days    = 14

artifact_days = 90
protected     = true

# Of the whole account: docs/explanation/aws-costs.md
monthly_budget_usd = 1500
charges_alarm_usd  = 1500
