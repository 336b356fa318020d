"""Networks, hyperparameters, calibration and the devices they train on."""
