"""App around MLflow's server: it records each move of an alias, and refuses what servers would refuse."""
