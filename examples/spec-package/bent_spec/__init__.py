"""A spec for maas in a package of its own; copy the folder and change what differs."""
