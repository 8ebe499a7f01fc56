"""Learning: data, models, pruning, training, aggregation. It knows no clock and no radio."""
