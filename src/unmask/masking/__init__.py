"""What is hidden: a pure function of (seed, epoch, document, place), with no state anywhere."""
