"""Several learners on one table: trained on folds in parallel processes, blended by rows that they have not seen."""
