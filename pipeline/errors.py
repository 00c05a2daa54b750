"""The user's mistakes that the machinery finds before anything starts."""


class ConfigError(ValueError):
    """The configuration is wrong; one line per problem, fit for the user's eyes."""
