"""What the pages share; the only room beside them that uses streamlit."""
