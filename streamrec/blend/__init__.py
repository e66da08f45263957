"""From what the sources say of the candidates to one score each."""
