"""A model of the API server, with a network that tests hold up and a clock that they wind, for the stateful half."""
