"""The search for good parameters: spaces, samplers that suggest from them, pruners that end hopeless trials early."""
