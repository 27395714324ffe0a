"""The modules of torch that the specs build; imported when a training starts, never by the API process."""
