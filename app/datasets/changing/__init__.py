"""From a version to the next one: cleaning, de-identifying, appending, erasing."""
