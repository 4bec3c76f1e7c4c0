"""The way to the API server: credentials, a small typed client, a paged list with a watch behind it."""
