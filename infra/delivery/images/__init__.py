"""Images of a release: which there are, their build and push, their bill of materials and provenance."""
