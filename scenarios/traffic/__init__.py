"""Realistic requests, with drift of a chosen kind and labels that come late."""
