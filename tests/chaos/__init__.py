"""Real processes, really killed, with a witness that Westward cannot touch. See docs/chaos.md."""
