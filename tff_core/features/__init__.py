"""What the feature maps do: FF-RS omega, dropout, LRP-max patches, colour tests, other rankings."""
