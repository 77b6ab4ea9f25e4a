"""Reports that a person reads, made from the JSON that runs leave behind.

What bites: torch is never loaded, and matplotlib only when the first chart is drawn, so that pages without charts also
work where it is not installed.
"""

from unmask.report.run_page import RunData, render_run

__all__ = ["RunData", "render_run"]
