"""Are the explanations right: do they depend on the detector, are they faithful, are they robust?"""
