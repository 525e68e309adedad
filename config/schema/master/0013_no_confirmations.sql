-- Nothing ever confirmed an address or a telephone number, so every account said that neither was.

ALTER TABLE registry.users DROP COLUMN email_confirmed, DROP COLUMN phone_confirmed;
