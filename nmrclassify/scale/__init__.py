"""Full scale: hundreds of compounds as sparse tables, mixtures as peaks on 65,536 positions, a network that is asked for each."""
