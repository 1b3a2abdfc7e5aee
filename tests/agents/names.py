"""Tool names, most of which model APIs reject."""

NAMES = [
    "echo",
    "search issues",
    "search.issues",
    "issues/search",
    "größe",
    "read_the_quarterly_report_of_the_finance_department_and_summarise_it_for_me",
    "7zip",
]
