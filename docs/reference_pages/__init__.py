"""Reference pages as Markdown, read from the code that they describe; a module for each page."""
