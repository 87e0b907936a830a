"""Copy or remerge?"""
