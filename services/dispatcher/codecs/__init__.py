"""Fast readers and writers of the dispatcher's three hot formats: pages, reports and items."""
