"""A real node, people who use it over HTTP, and connections that speak to it byte by byte."""
