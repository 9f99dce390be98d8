"""How does a dossier look to a person? ``html.render`` gives the page; importing this imports nothing."""
