"""HTTP as every route sees it: policies, strict bodies, problems, creates, pages; imported by routes and main only."""
