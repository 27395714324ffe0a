"""How wide a declared network is at each layer and how many parameters it has: plain arithmetic, nothing allocated."""

from __future__ import annotations

from collections.abc import Iterator

from app.learning.declared.grammar import (
    BatchNormalization,
    Dense,
    LayerNormalization,
    Network,
    PeriodicEmbedding,
    Place,
    walk,
)
from app.learning.embedded import category_width, table_parameters
from app.learning.layout import Layout


def input_width(network: Network, layout: Layout) -> int:
    """Return how many values the first layer sees."""
    categories, numbers = network.embeddings.categories, network.embeddings.numbers
    rest = layout.num_inputs - layout.num_numbers
    if categories is not None:
        rest = category_width(layout, 0, categories.width)
    return layout.num_numbers * (1 if numbers is None else 1 + numbers.width) + rest


def embedding_parameters(network: Network, layout: Layout) -> int:
    """Return how many parameters come before the first layer."""
    categories, numbers = network.embeddings.categories, network.embeddings.numbers
    of_one_number = 0
    if isinstance(numbers, PeriodicEmbedding):
        of_one_number = 2 * numbers.frequencies + (numbers.frequencies + 1) * numbers.width
    elif numbers is not None:
        of_one_number = (numbers.bins + 1) * numbers.width
    of_categories = 0 if categories is None else table_parameters(layout, 0, categories.width)
    return layout.num_numbers * of_one_number + of_categories


def by_layer(network: Network, width: int) -> Iterator[tuple[Place, int, int]]:
    """Yield the place of each layer, its own parameters, and the width after it; residuals have none of their own."""
    for place, layer in walk(network.layers):
        own = 0
        if isinstance(layer, Dense):
            own = (width + 1) * layer.units + (0 if layer.normalization == "none" else 2 * layer.units)
            width = layer.units
        elif isinstance(layer, BatchNormalization | LayerNormalization):
            own = 2 * width
        yield place, own, width


def num_parameters(network: Network, layout: Layout, num_outputs: int) -> int:
    """Return the number of weights, biases, gains, frequencies and vectors, the head's included."""
    width = input_width(network, layout)
    total = embedding_parameters(network, layout)
    for _, own, after in by_layer(network, width):
        total, width = total + own, after
    return total + (width + 1) * num_outputs
