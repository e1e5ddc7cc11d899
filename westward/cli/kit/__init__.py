"""The provider conformance kit: the whole life of a job at a site, with real processes."""
