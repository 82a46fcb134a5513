"""The HTML report: gathering, pictures, page."""
