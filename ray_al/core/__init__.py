"""Values, configuration, errors, seeding and storage that every stage may use."""
