// Spares the person a click: the form holds what waitcall's page gave, and the server checks it.
document.getElementById("go").requestSubmit();
