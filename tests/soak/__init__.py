"""An hour under constant work, watched for anything that grows. See docs/chaos.md."""
