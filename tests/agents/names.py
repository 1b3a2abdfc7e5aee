"""Names of tools, most of which models' APIs refuse."""

NAMES = [
    "echo",
    "search issues",
    "search.issues",
    "issues/search",
    "größe",
    "read_the_quarterly_report_of_the_finance_department_and_summarise_it_for_me",
    "7zip",
]
