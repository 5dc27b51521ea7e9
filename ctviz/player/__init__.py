"""The browser half of the player: plain ES modules and one style sheet, no build step."""
