"""MaxK-GNN (ASPLOS 2024): does keeping k values a row pay, in accuracy and in time, with everything charged?"""
