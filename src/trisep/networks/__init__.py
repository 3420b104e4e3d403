"""The audio U-Net and the ways in which a query enters it. Nothing here knows encoders, losses or files."""
