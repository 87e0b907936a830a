"""What does ksmd look at next?"""
