"""Money: integers only, millionths of the network's currency."""
