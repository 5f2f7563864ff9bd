"""Can explanations be trusted: do they depend on the detector, find what is there, and hold?"""
