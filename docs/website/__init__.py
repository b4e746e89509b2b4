"""Builds the documentation site: written pages, and pages made from the schema, the catalogues, the SQL and its tests.

`python docs/website` writes Markdown for every page into a temporary folder and lets MkDocs turn it into HTML. Nothing
that is made here is kept in the repository, so that no page can say otherwise than the code.
"""
