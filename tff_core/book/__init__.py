"""What a page needs: the Sphinx extension, the notebooks' cells, the explorer, the report of one picture."""
