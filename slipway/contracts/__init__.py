"""The contracts between the packages, versioned."""
