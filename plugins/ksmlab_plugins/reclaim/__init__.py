"""Which frames go?"""
