"""An independent checker of rehearsals: reads the files, shares no code with westward/."""
