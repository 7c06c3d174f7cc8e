"""Restoration in front of classifiers, measured by whether the classifier behind it is right."""
